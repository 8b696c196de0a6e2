"""Programs that each time training steps of the same network in one framework; started by `benchmarks.training`."""
