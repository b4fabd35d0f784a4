"""What stands in a synthetic picture beside its hand: props, what hands wear, a second hand, occluders."""
