"""What a synthetic picture shows besides its hand: props, what hands wear, a second hand, occluders."""
