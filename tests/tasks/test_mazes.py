"""The mazes' own rules: layouts that can be solved, what is seen, keys and rewards, pairs, pictures."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlbench.tasks.environments import maze_layouts
from tlbench.tasks.environments.maze_layouts import AGENT, ATTEMPTS, KEY, PATH, PRIORITIES, WALL, layouts
from tlbench.tasks.environments.maze_pictures import tiles
from tlbench.tasks.environments.meta_labyrinth import PALETTES, MetaLabyrinthPairs, can_reach, looks
from tlbench.tasks.environments.simple_maze import SimpleMazePairs

SIMPLE, LABYRINTH = "tlbench/SimpleMaze-v1", "tlbench/MetaLabyrinth-v1"


def make(maze_id, num_envs=1, **options):
    return gymnasium.make_vec(maze_id, num_envs=num_envs, vectorization_mode="vector_entry_point", **options)


def places(cells, kind):
    return [divmod(int(i), 8) for i in np.flatnonzero(cells == kind)]


@settings(max_examples=60, deadline=None)
@given(walls=st.integers(0, 24), keys=st.integers(1, 11), seed=st.integers(0, 2**32 - 1), crowded=st.booleans())
def test_all_keys_can_be_reached_and_everything_is_in_its_place(walls, keys, seed, crowded):
    numbers = np.random.default_rng(seed).random((20, ATTEMPTS, PRIORITIES))
    if crowded:  # the agent is walled in at every attempt
        numbers[:, :, :2] = numbers[:, :, 5:6] = 0.0
    for cells in layouts(numbers, walls, keys):
        inside = cells.reshape(8, 8)[1:-1, 1:-1]
        wall_places = [p for p in places(cells, WALL) if not {*p} & {0, 7}]
        assert places(cells, AGENT) == [(1, 1)]
        assert (inside == KEY).sum() == keys
        assert (cells == WALL).sum() - len(wall_places) == 28
        assert len(wall_places) <= walls
        assert not any(6 in p for p in wall_places)
        assert can_reach(wall_places, places(cells, KEY))


def test_mazes_that_can_be_solved_at_once_have_all_their_walls():
    cells = layouts(np.random.default_rng(0).random((3000, ATTEMPTS, PRIORITIES)), 12, 3)
    assert ((cells == WALL).sum(axis=1) - 28 == 12).mean() > 0.999
    shares = (cells == WALL).mean(axis=0)[maze_layouts.WALL_CELLS]
    assert shares.min() > 0.3  # nowhere is far from the average of a half
    assert shares.max() < 0.65


def test_a_key_is_taken_and_the_last_one_ends_the_episode():
    env = make(LABYRINTH, walls=0, keys=2, tile_size=1, action_order="udlr")
    env.reset(seed=0)
    cells = np.where(env._cells == KEY, PATH, env._cells)
    cells[0, maze_layouts.cell(1, 2)] = cells[0, maze_layouts.cell(1, 3)] = KEY
    env._begin(np.array([0]), cells.astype(float))
    right, up = np.array([3]), np.array([0])
    assert env.step(up)[1:3] == (-0.1, False)  # the border
    observations, rewards, terminations, *_ = env.step(right)
    assert (rewards, terminations) == (1.0, False)
    assert observations[0, 0, 1, :4] == pytest.approx([1, -1, 0.6, 0.2])
    _, rewards, terminations, _, infos = env.step(right)
    assert (rewards, terminations) == (1.0, True)
    assert infos["final_obs"][0, 0, 1, :4] == pytest.approx([1, -1, -1, 0.6])


def test_the_simple_maze_has_31_states_and_a_door():
    env = make(SIMPLE, 400)
    seen = {o.tobytes() for o in env.reset(seed=0)[0]}
    assert len(seen) == 31
    env = make(SIMPLE, random_start=False)
    start = env.reset(seed=0)[0][0, 0]
    assert start[4, 4] == 0.5
    assert start[4].tolist() == [1, 0, 0, 0, 0.5, 0, 0, 1]
    assert start[3].tolist() == [1, 0, 0, 0, 1, 0, 0, 1]
    for action, place in ((0, (4, 4)), (2, (4, 3)), (2, (4, 2)), (0, (3, 2)), (3, (3, 3)), (3, (3, 3)), (1, (4, 3))):
        observation, reward, terminated, *_ = env.step(np.array([action]))
        assert tuple(np.argwhere(observation[0, 0] == 0.5)[0]) == place
        assert not reward
        assert not terminated


@pytest.mark.parametrize("maze_id", [SIMPLE, LABYRINTH])
def test_options_change_what_is_seen_or_done_and_nothing_else(maze_id):
    plain, inverse = make(maze_id, 8, tile_size=2), make(maze_id, 8, tile_size=2, inverse=True)
    reordered = make(maze_id, 8, tile_size=2, action_order="lurd")
    order = ["udlr" if maze_id == SIMPLE else "drul"][0]
    first = plain.reset(seed=3)[0]
    assert np.array_equal(first, -inverse.reset(seed=3)[0])
    reordered.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(4, size=8)
        got = plain.step(actions)
        turned = np.array(["lurd".index(order[a]) for a in actions])
        for other, sign in ((inverse.step(actions), -1), (reordered.step(turned), 1)):
            assert np.array_equal(got[0], sign * other[0])
            assert np.array_equal(got[1], other[1])


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize(("colour", "tile_size"), [(False, 3), (False, 6), (True, 1), (True, 2), (True, 6)])
def test_cells_are_told_apart_by_more_than_their_brightness(palette, colour, tile_size):
    path, *others = tiles(looks(palette, colour), tile_size, False).reshape(4, -1)
    directions = np.array([(cell - path) / np.linalg.norm(cell - path) for cell in others])
    assert abs(directions @ directions.T - np.eye(3)).max() < 0.9


def test_a_key_is_a_cross_and_the_agent_a_plus():
    _, _, key, agent = tiles(looks("standard", False), 4, False)[:, 0]
    a, b, p = 0.2, 0.4, -1.0
    assert key == pytest.approx(np.array([[a, p, p, a], [p, b, b, p], [p, b, b, p], [a, p, p, a]]))
    a, b = 0.6, 0.8
    assert agent == pytest.approx(np.array([[p, a, a, p], [a, b, b, a], [a, b, b, a], [p, a, a, p]]))


def test_coloured_pictures_have_the_same_mazes():
    grey, coloured = make(LABYRINTH, 5, tile_size=1), make(LABYRINTH, 5, tile_size=1, colour=True)
    seen, of_colours = grey.reset(seed=1)[0][:, 0], coloured.reset(seed=1)[0]
    assert of_colours.shape == (5, 3, 8, 8)
    for shade, (red, green, blue) in {-1.0: (-1, -1, -1), 1.0: (1, 1, 1), 0.2: (1, 1, -1), 0.6: (1, -1, -1)}.items():
        place = np.isclose(seen, shade)
        assert place.any()
        assert (of_colours.transpose(0, 2, 3, 1)[place] == (red, green, blue)).all()


@pytest.mark.parametrize(("pairs", "options"), [(SimpleMazePairs, {}), (MetaLabyrinthPairs, {"palette": "recoloured"})])
def test_pairs_show_one_state_in_two_ways(pairs, options):
    drawn = pairs(tile_size=3, inverse=True, action_order="drul", **options).draw(20, np.random.default_rng(0))
    base, transfer = drawn["base"], drawn["transfer"]
    assert base.shape == transfer.shape == (20, 1, 24, 24)
    shades = {(b, t) for b, t in zip(base.ravel().tolist(), transfer.ravel().tolist(), strict=True)}
    assert len({b for b, _ in shades}) == len(shades)  # each shade of one becomes one shade of the other
    assert not np.array_equal(base, transfer)
    assert len({o.tobytes() for o in base}) == 20


def test_pairs_of_the_simple_maze_say_where_the_agent_is():
    drawn = SimpleMazePairs().draw(100, np.random.default_rng(0))
    assert len(drawn["base"]) == 31
    assert [tuple(p) for p in drawn["positions"]] == [tuple(np.argwhere(o[0] == 0.5)[0]) for o in drawn["base"]]


@pytest.mark.parametrize("maze_id", [SIMPLE, LABYRINTH])
def test_pictures(maze_id):
    envs, single = make(maze_id, 2, render_mode="rgb_array"), gymnasium.make(maze_id, render_mode="rgb_array")
    envs.reset(seed=4)
    single.reset(seed=4)
    pictures = envs.render()
    assert [p.shape for p in pictures] == [(192, 192, 3)] * 2
    assert np.array_equal(pictures[0], single.render())
    assert make(maze_id, 2).render() is None
    inverse = gymnasium.make(maze_id, render_mode="rgb_array", inverse=True)
    inverse.reset(seed=4)
    assert np.array_equal(inverse.render(), 255 - pictures[0])


def test_pictures_of_recoloured_mazes_have_other_colours():
    options = {"render_mode": "rgb_array", "palette": "recoloured"}
    envs, single = make(LABYRINTH, 2, **options), gymnasium.make(LABYRINTH, **options)
    plain = gymnasium.make(LABYRINTH, render_mode="rgb_array")
    for env in (envs, single, plain):
        env.reset(seed=4)
    picture = single.render()
    assert np.array_equal(envs.render()[0], picture)
    found, standard = (np.unique(seen.reshape(-1, 3), axis=0) for seen in (picture, plain.render()))
    assert len(found) == len(standard) == 4
    assert not {*map(tuple, found)} & {*map(tuple, standard)}


@pytest.mark.parametrize(
    ("maze_id", "options"),
    [
        (SIMPLE, {"tile_size": 0}),
        (SIMPLE, {"action_order": "uplr"}),
        (LABYRINTH, {"tile_size": 1.5}),
        (LABYRINTH, {"keys": 0}),
        (LABYRINTH, {"walls": 25}),
        (LABYRINTH, {"palette": "pink"}),
        (LABYRINTH, {"action_order": "dru"}),
    ],
)
def test_wrong_options(maze_id, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        make(maze_id, 2, **options)
    with pytest.raises(ValueError, match=next(iter(options))):
        gymnasium.make(maze_id, **options)
