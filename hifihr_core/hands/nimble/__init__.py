"""NIMBLE: model, arrays, conversion of the published files, texture chart."""
