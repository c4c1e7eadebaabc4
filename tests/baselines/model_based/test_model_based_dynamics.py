"""Learned dynamics: the loss and its gradients, the ensemble against its members, what data they are fitted to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tlbench.baselines.model_based.config import ModelBasedConfig
from tlbench.baselines.model_based.dynamics import LIMIT, DynamicsEnsemble
from tlbench.baselines.model_based.fitting import Fitter
from tlbench.baselines.model_based.segments import Segments
from tlbench.protocol.errors import DivergedError


def member(models: DynamicsEnsemble, number: int) -> DynamicsEnsemble:
    """One member alone."""
    hidden = [weight.shape[2] for weight in models.weights[:-1]]
    inputs, outputs = models.weights[0].shape[1], models.weights[-1].shape[2]
    alone = DynamicsEnsemble(outputs, inputs - outputs, hidden, 1, torch.Generator())
    tensors = models.tensors()
    normalisation = ("obs_mean", "obs_std", "delta_mean", "delta_std")
    alone.load({name: t if name in normalisation else t[number : number + 1] for name, t in tensors.items()})
    return alone


def double(models: DynamicsEnsemble, batch: Segments) -> Segments:
    """Models and data in double precision, for finite differences."""
    models.weights = [w.detach().double().requires_grad_() for w in models.weights]
    models.biases = [b.detach().double().requires_grad_() for b in models.biases]
    for name in ("obs_mean", "obs_std", "delta_mean", "delta_std"):
        setattr(models, name, getattr(models, name).double())
    return Segments(*(t.double() for t in batch.tensors().values()))


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_gradients_of_the_loss_are_those_of_finite_differences(ensemble, random_segments, steps):
    models = ensemble(members=2)
    batch = double(models, random_segments(10, steps)[np.arange(10).reshape(2, 5)])
    models.losses(batch).sum().backward()
    step, generator = 1e-6, np.random.default_rng(1)
    for parameter in models.parameters():
        flat = parameter.detach().view(-1)
        for entry in generator.integers(len(flat), size=6):
            before, found = float(flat[entry]), []
            for sign in (1, -1):
                flat[entry] = before + sign * step
                found.append(float(models.losses(batch).sum().detach()))
            flat[entry] = before
            slope = (found[0] - found[1]) / (2 * step)
            assert float(parameter.grad.view(-1)[entry]) == pytest.approx(slope, rel=1e-4, abs=1e-7)


@torch.no_grad()
def test_the_loss_is_the_mean_norm_of_unrolled_errors(ensemble, random_segments):
    models, data = ensemble(members=1), random_segments(7, 3)
    norms = []
    for row in range(len(data)):
        obs = data.obs[row]
        for step in range(3):
            delta = models.deltas(obs.view(1, 1, -1), data.actions[row, step].view(1, 1, -1)).view(-1)
            if data.mask[row, step]:
                norms.append(float(((delta - data.deltas[row, step]) / models.delta_std).square().sum().sqrt()))
            obs = obs + delta
    assert 7 < len(norms) < 21
    assert float(models.losses(data[np.arange(7)[None]])) == pytest.approx(np.mean(norms), rel=1e-5)


def test_what_is_beyond_an_episodes_end_has_no_influence(ensemble, random_segments):
    models, data = ensemble(members=1), random_segments(50)
    ended = data.mask[:, 1] == 0
    data.deltas[ended, 1], data.actions[ended, 1] = 1e3, 1e3
    before = random_segments(50)
    rows = np.arange(50)[None]
    assert torch.equal(models.losses(data[rows]), models.losses(before[rows]))


def test_each_member_computes_as_it_would_alone(ensemble, random_segments):
    models, data = ensemble(), random_segments(30)
    obs, actions = data.obs.view(3, 10, -1), data.actions[:, 0].view(3, 10, -1)
    together, losses = models.step(obs, actions), models.losses(data[np.arange(30).reshape(3, 10)])
    for number in range(3):
        alone = member(models, number)
        assert torch.allclose(
            alone.step(obs[number : number + 1], actions[number : number + 1])[0],
            together[number],
            rtol=1e-5,
            atol=1e-6,
        )
        rows = np.arange(10 * number, 10 * number + 10)[None]
        assert torch.allclose(alone.losses(data[rows])[0], losses[number], rtol=1e-5)
    assert not torch.allclose(together[0], models.step(obs[:1].expand(3, -1, -1), actions[:1].expand(3, -1, -1))[1])


def test_members_are_fitted_independently(ensemble, random_segments):
    config = ModelBasedConfig(model_batch=16)
    data, none = random_segments(60), Segments.empty(3, 2, 2)
    models = ensemble()
    alone = member(models, 1)
    rows = np.random.default_rng(5)
    batches = [rows.integers(60, size=(3, 16)) for _ in range(5)]
    for fitted, pick in ((models, slice(None)), (alone, slice(1, 2))):
        fitter = Fitter(fitted, config, np.random.default_rng(0), 0.5)
        chosen = iter(batches)
        fitter._rows = lambda *_, chosen=chosen, pick=pick: next(chosen)[pick]
        fitter.fit(none, data, 5)
    for whole, single in zip(models.parameters(), alone.parameters(), strict=True):
        assert torch.allclose(whole[1:2], single, rtol=1e-4, atol=1e-6)


def test_a_point_is_learned_from_two_thousand_samples(point_data):
    data, held_out, rng = point_data(2000), point_data(500, seed=1), np.random.default_rng(0)
    models = DynamicsEnsemble(2, 2, (32, 32), 3, torch.Generator().manual_seed(0))
    models.normalise(data)
    before = models.relative_error(held_out)
    doubt = models.disagreement(held_out.obs, held_out.actions[:, 0]).mean()
    Fitter(models, ModelBasedConfig(), rng, 0.5).fit(Segments.empty(2, 2, 1), data, 800)
    assert models.relative_error(held_out) < 0.05 < before
    assert models.disagreement(held_out.obs, held_out.actions[:, 0]).mean() < 0.25 * doubt


def test_a_share_of_a_minibatch_is_the_present_tasks(ensemble):
    def share(earlier: int, present: int) -> float:
        fitter = Fitter(ensemble(), ModelBasedConfig(model_batch=4000), np.random.default_rng(0), 0.25)
        rows = fitter._rows(earlier, present)
        assert rows.min() >= 0
        assert rows.max() < earlier + present
        return float((rows >= earlier).mean())

    assert share(100, 10) == pytest.approx(0.25, abs=0.02)
    assert share(100, 0) == 0
    assert share(0, 10) == 1


def test_virtual_states_stay_within_reach(ensemble, random_segments):
    models, data = ensemble(members=1), random_segments(20)
    with torch.no_grad():
        models.weights[-1].mul_(1e6)
    following = models.step(data.obs[None], data.actions[None, :, 0])
    assert ((following - models.obs_mean) / models.obs_std).abs().max() <= LIMIT * 1.0001


def test_models_that_are_not_finite_are_told(ensemble, random_segments):
    models = ensemble()
    with torch.no_grad():
        models.weights[0][0, 0, 0] = np.nan
    with pytest.raises(DivergedError, match="learned dynamics"):
        Fitter(models, ModelBasedConfig(), np.random.default_rng(0), 0.5).fit(
            Segments.empty(3, 2, 2), random_segments(9), 1
        )


def test_a_constant_component_is_predicted_to_stay(random_segments):
    data = random_segments(100)
    data.obs[:, 1], data.deltas[:, :, 1] = 4.0, 0.0
    models = DynamicsEnsemble(3, 2, (8,), 1, torch.Generator().manual_seed(0))
    models.normalise(data)
    assert models.obs_std[1] == models.delta_std[1] == 1
    assert all(torch.isfinite(t).all() for t in models.tensors().values())


def test_segments_are_cut_where_episodes_end():
    obs = np.arange(8.0).reshape(4, 2, 1)
    ended = np.array([[False, False], [True, False], [False, False], [False, False]])
    actions = obs / 10
    cut = Segments.of_lanes(obs, actions, obs + 0.5, ended, 3)
    assert cut.obs[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert cut.mask.tolist() == [[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert torch.allclose(cut.actions[1, :, 0], torch.tensor([0.1, 0.3, 0.5]))
    assert torch.equal(cut.deltas, torch.full((8, 3, 1), 0.5) * (cut.deltas != 0))
    assert (cut.deltas[cut.mask > 0] == 0.5).all()
