"""Convert hands of the free model to MANO's or NIMBLE's parameters."""
