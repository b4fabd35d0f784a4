"""From one hand model to another: MANO's or NIMBLE's parameters for hands of the free model."""
