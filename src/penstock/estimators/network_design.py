"""A network's architecture and options, as the compiled program that trains it, its first state, and its model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import TrainingError
from penstock.estimators.backend import value_of
from penstock.estimators.checkpoints import Checkpoint
from penstock.estimators.defaults import Recipe
from penstock.estimators.early_stopping import EarlyStopping
from penstock.estimators.fitted_model import FittedModel
from penstock.estimators.front import Front
from penstock.estimators.loop import Hyperparameters, Program, Rows, TrainState, Updates
from penstock.estimators.losses import members_loss, weighted_loss
from penstock.estimators.network_body import NetworkBody
from penstock.estimators.network_options import NetworkOptions
from penstock.estimators.networks import Network, StartsFromData, variable_keys, weights_of
from penstock.estimators.optimizers import OptimizerChoice, choose_optimizer
from penstock.estimators.programs import CompiledProgram, compiled_program
from penstock.estimators.regimen import Regimen
from penstock.estimators.setup import Setup
from penstock.estimators.tabm_network import TabMNetwork
from penstock.estimators.warm_start import warm_state
from penstock.estimators.wide_network import WideDeepNetwork
from penstock.features.fitted import FittedFeatures

__all__ = ["NetworkDesign", "checkpoint_of", "front_of", "state_of"]


@dataclass(frozen=True, kw_only=True)
class NetworkDesign:
    """network: the architecture, or what makes it of the fitted features. seed: of the first weights."""

    network: Network | Callable[[FittedFeatures], Network]
    options: NetworkOptions
    seed: int
    regimen: Regimen = field(default_factory=Regimen)

    def network_for(self, setup: Setup) -> Network:
        return self.network(setup.features) if callable(self.network) else self.network

    def optimizer(self, default_rate: float) -> OptimizerChoice:
        return choose_optimizer(
            self.options.optimizer,
            learning_rate=self.options.learning_rate,
            schedule=self.options.learning_rate_schedule,
            default_rate=default_rate,
            default_schedule=self.regimen.schedule,
            betas=self.regimen.betas,
        )

    def hyperparameters(self, recipe: Recipe) -> Hyperparameters:
        decay = self.options.weight_decay
        if decay is None:
            decay = recipe.weight_decay if self.options.optimizer is None else 0.0
        return Hyperparameters(weight_decay=decay, l1=self.options.l1, l2=self.options.l2)

    def compiled(self, setup: Setup, default_rate: float) -> CompiledProgram:
        """The program, shared by all trainings whose steps consist of the same arithmetic."""
        front = front_of(setup)
        network, head = self.network_for(setup), setup.head
        optimizer = self.optimizer(default_rate)
        decay = self.options.weight_decay
        has_decay = bool(decay) or (decay is None and self.options.optimizer is None)
        has_penalty = self.options.l1 > 0 or self.options.l2 > 0
        shape = [
            (block.name, block.kind, block.width, block.num_buckets, block.dimension, block.representation)
            for block in front.blocks
        ]
        wide = None
        if isinstance(network, WideDeepNetwork) and network.wide:
            wide = choose_optimizer(
                self.options.wide_optimizer, learning_rate=None, schedule="constant", default_rate=default_rate
            )
        wide_key = None if wide is None else (wide.key, wide.rate)
        row_loss = self.options.row_loss
        loss_key = None if row_loss is None else id(row_loss)
        regimen = self.regimen
        smoothing = regimen.label_smoothing if head.classes else 0.0
        steps_key = (optimizer.key, wide_key, has_decay, has_penalty, regimen.key, smoothing, loss_key)
        key = repr((network.key, shape, head.key, *steps_key))
        has_members = isinstance(network, TabMNetwork)

        def make() -> Program:
            loss = head.loss(smoothing=smoothing) if row_loss is None else weighted_loss(row_loss)
            model = network.build(front, head.outputs, seed=self.seed)
            variables = model.trainable_variables
            is_wide = [wide is not None and WideDeepNetwork.is_wide(variable.path) for variable in variables]
            deep_places = tuple(i for i in range(len(variables)) if not is_wide[i])
            updates = []
            for factor in dict.fromkeys(regimen.rate_of(variables[i].path) for i in deep_places):
                places = tuple(i for i in deep_places if regimen.rate_of(variables[i].path) == factor)
                follows = optimizer.rate is not None
                updates.append(_updates(optimizer.make(), variables, places, follows=follows, scale=factor))
            decays = {i: regimen.decay_of(variables[i].path) for i in deep_places}
            if wide is not None:
                wide_places = tuple(i for i in range(len(variables)) if is_wide[i])
                updates.append(_updates(wide.make(), variables, wide_places, follows=False))
            return Program(
                model=model,
                updates=tuple(update for update in updates if update.positions),
                loss=members_loss(loss) if has_members else loss,
                decayed=tuple(i for i, decay in decays.items() if decay > 0.0),
                has_decay=has_decay,
                has_penalty=has_penalty,
                decay_scales={i: decay for i, decay in decays.items() if decay not in (0.0, 1.0)},
                scheduled=tuple(
                    i
                    for i, variable in enumerate(model.non_trainable_variables)
                    if variable.path.endswith("/regularization_share")
                ),
            )

        return compiled_program(key, make)

    def initial_state(
        self, setup: Setup, compiled: CompiledProgram, checkpoint: Checkpoint | None, rows: Rows
    ) -> TrainState:
        """What a training begins with: a checkpoint, an earlier training's weights, or fresh ones."""
        if checkpoint is not None:
            return state_of(checkpoint, compiled.program)
        network, front = self.network_for(setup), front_of(setup)
        model = network.build(front, setup.head.outputs, seed=self.seed)
        trainable = tuple(value_of(variable) for variable in model.trainable_variables)
        non_trainable = tuple(value_of(variable) for variable in model.non_trainable_variables)
        if isinstance(network, StartsFromData):
            weights = weights_of(model, trainable, non_trainable)
            started = network.first_weights(front, weights, rows.inputs, seed=self.seed)
            trainable = tuple(started[key] for key in variable_keys(model)[: len(trainable)])
        state = TrainState(0, trainable, non_trainable, compiled.first_optimizer)
        source = self.options.warm_start_from
        return state if source is None else warm_state(source, state)

    def model_of(self, setup: Setup, compiled: CompiledProgram, state: TrainState, folder: Path) -> FittedModel:
        body = NetworkBody(self.network_for(setup), front_of(setup), compiled, state, self.seed)
        return FittedModel(setup.features, body, setup.head, state.step, folder)


def front_of(setup: Setup) -> Front:
    """How the setup's blocks reach a network."""
    return Front(setup.features.blocks, setup.normalizer)


def checkpoint_of(state: TrainState, stopping: EarlyStopping | None) -> Checkpoint:
    """A checkpoint of a state, and of the best one seen so far."""
    arrays: dict[str, NDArray[Any]] = {}
    for part in ("trainable", "non_trainable", "optimizer"):
        arrays |= {f"{part}/{i}": array for i, array in enumerate(getattr(state, part))}
    if stopping is None:
        return Checkpoint(state.step, arrays, {})
    return Checkpoint(state.step, arrays | stopping.arrays(), stopping.facts())


def state_of(checkpoint: Checkpoint, program: Program) -> TrainState:
    """The state in a checkpoint. Raises TrainingError where it is of another network."""
    expected = program.state()

    def series(part: str) -> tuple[NDArray[Any], ...]:
        wanted = getattr(expected, part)
        found = tuple(checkpoint.arrays.get(f"{part}/{i}", np.empty(0)) for i in range(len(wanted)))
        if any(have.shape != want.shape for have, want in zip(found, wanted, strict=True)):
            raise TrainingError(f"checkpoint {checkpoint.step} is of another network; use another model_dir")
        return found

    return TrainState(checkpoint.step, series("trainable"), series("non_trainable"), series("optimizer"))


def _updates(
    made: Any, variables: Sequence[Any], places: tuple[int, ...], *, follows: bool, scale: float = 1.0
) -> Updates:
    made.build([variables[i] for i in places])
    return Updates(made, places, follows, scale)
