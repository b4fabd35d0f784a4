"""Objects in a synthetic picture besides its hand: props, rings and gloves, a second hand, occluders."""
