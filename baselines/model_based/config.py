"""Settings of learning on models, and of the multi-task methods that carry them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tlbench.protocol.interface import Config

Selection = Literal["uniform", "predicted-return", "model-error", "disagreement"]


class ModelBasedConfig(Config):
    """Settings of learning one task on models; the policy's learner has its own."""

    members: int = Field(5, ge=1, description="Models in the ensemble.")
    hidden_sizes: tuple[int, ...] = Field((128, 128), description="Units of a model's hidden layers (ReLU).")
    loss_steps: int = Field(2, ge=1, le=20, description="Steps that a model is unrolled in its loss.")
    model_learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate for the models.")
    weight_decay: float = Field(1e-5, ge=0, description="Weight decay of the models.")
    model_batch: int = Field(128, ge=1, description="Minibatch of each model.")

    iterations: int = Field(5, ge=1, description="Rounds of model and policy updates after data was collected.")
    model_updates: int = Field(200, ge=1, description="Updates of the models per round.")
    policy_updates: int = Field(10, ge=1, description="Policy updates per round, each on virtual samples of its own.")
    virtual_samples: int = Field(4000, ge=1, description="Least virtual steps per policy update.")

    target_stages: int = Field(5, ge=1, description="Alternations of collecting and training on the target.")
    lanes: int = Field(5, ge=1, description="Lanes in which real steps are collected.")
    noise_theta: float = Field(0.15, ge=0, le=1, description="Pull of the Ornstein-Uhlenbeck noise to 0.")
    noise_sigma: float = Field(0.3, ge=0, description="Its deviation per step; the action space's half width is 1.")


class MultitaskConfig(ModelBasedConfig):
    """Settings of model-based multi-task learning: those of one task, and what is carried from task to task."""

    fresh_share: float = Field(0.5, ge=0, le=1, description="Share of a minibatch from the present task.")
    kept_segments: int = Field(20_000, ge=1, description="Most segments of the sources' data kept in the knowledge.")
    warm_up_updates: int = Field(100, ge=0, description="Policy updates on the models before a task's first sample.")
    source_stages: int = Field(3, ge=1, description="Alternations of collecting and training per source.")

    selection: Selection = Field("uniform", description="How the next source is chosen.")
    candidates: int = Field(3, ge=1, description="Sources left, drawn at random, among which one is chosen by score.")
    visits: int | None = Field(None, ge=1, description="Sources that are trained on; all if none.")
    probe_share: float = Field(0.1, gt=0, lt=1, description="Share of a source's budget its model error is seen on.")
