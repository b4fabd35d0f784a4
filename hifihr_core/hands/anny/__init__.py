"""The free hand that ships with the package: model, rig, poses and skin."""
