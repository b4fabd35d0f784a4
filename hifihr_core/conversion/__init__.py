"""From one hand model to another: MANO's parameters for hands of the free model."""
