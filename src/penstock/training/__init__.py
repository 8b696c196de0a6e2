"""Training runs: TrainSpec, EvalSpec, exporters, and experiments written as files."""
