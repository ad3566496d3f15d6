"""Drawing moving layers, and their flow."""

import cv2
import numpy as np
import pytest

from fmanet_mm.datasets.random_scene import sample_scene
from fmanet_mm.datasets.scene import Layer, Scene, Trajectory, similarity

SIZE = (30, 40)


def trajectory(velocity=(0, 0), acceleration=(0, 0), turn=0.0, zoom=0.0, centre=(0, 0)):
    return Trajectory(
        centre=np.array(centre, float),
        velocity=np.array((*velocity, turn, zoom), float),
        acceleration=np.array((*acceleration, 0, 0), float),
        waves=np.zeros((0, 4)),
        frequencies=np.zeros((0, 4)),
        phases=np.zeros((0, 4)),
    )


def noise(height, width, sigma=0.0, seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    if not sigma:
        return image
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma)
    return cv2.normalize(image, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


def background(image=None, **motion):
    image = noise(60, 80) if image is None else image
    return Layer(image, None, np.eye(3), trajectory(**motion))


def square(place, side=12, colour=255, **motion):
    """A piece that is opaque but for a border of 1."""
    mask = np.zeros((side, side), np.float32)
    mask[1:-1, 1:-1] = 1
    image = np.full((side, side, 3), colour, np.uint8)
    return Layer(image, mask, similarity(0, 1, (0, 0), place), trajectory(**motion))


def scene(*layers, camera=None, scale=2):
    return Scene(layers, camera or trajectory(), SIZE, scale)


def test_trajectory_is_the_identity_at_time_0_and_follows_its_formula():
    path = Trajectory(
        centre=np.array((10.0, 20.0)),
        velocity=np.array((1, 2, 0.1, 0.0)),
        acceleration=np.array((0.5, 0, 0, 0.02)),
        waves=np.array([(3.0, 0, 0, 0)]),
        frequencies=np.full((1, 4), 0.7),
        phases=np.full((1, 4), 0.4),
    )
    np.testing.assert_allclose(path.pose(0), np.eye(3), atol=1e-12)
    x = 10 + 2 * 1 + 0.5 * 2**2 / 2 + 3 * (np.sin(0.7 * 2 + 0.4) - np.sin(0.4))
    np.testing.assert_allclose(path.pose(2) @ (10, 20, 1), (x, 24, 1))
    zoom = np.exp(0.02 * 2**2 / 2)
    turned = (x + zoom * np.cos(0.2), 24 + zoom * np.sin(0.2), 1)
    np.testing.assert_allclose(path.pose(2) @ (11, 20, 1), turned)
    np.testing.assert_allclose(path.scaled(0).pose(2), np.eye(3), atol=1e-12)
    np.testing.assert_allclose(
        path.scaled(3).pose(2) @ (10, 20, 1), (3 * x - 20, 32, 1)
    )


def test_whole_pixels_are_a_shift_of_the_picture():
    moving = scene(background(velocity=(4, -2), acceleration=(2, 0)))
    still = moving.render(0)
    np.testing.assert_array_equal(still, noise(60, 80))
    # At time 2: x by 4 * 2 + 2 * 2 ** 2 / 2 = 12, y by -4.
    np.testing.assert_array_equal(moving.render(2)[:-4, 12:], still[4:, :-12])
    np.testing.assert_array_equal(moving.flow(2), np.full((*SIZE, 2), (6, -2)))
    assert moving.flow(2).dtype == np.float32
    assert not moving.flow(0).any()


def test_camera_carries_all_layers():
    camera = trajectory(velocity=(2, 0))
    moving = scene(background(), square((20, 10), velocity=(0, 6)), camera=camera)
    flow = moving.flow(-1)
    np.testing.assert_array_equal(flow[20, 20], (-1, 0))
    np.testing.assert_array_equal(flow[8, 13], (-1, -3))


def test_rotation_and_zoom_are_about_their_centre():
    # The middle of the LR pixel at row 10, column 5 is at x = 10.5, y = 20.5.
    moving = scene(background(turn=np.pi / 2, centre=(10.5, 30.5)))
    np.testing.assert_allclose(moving.flow(1)[10, 5], (5, 5), atol=1e-5)
    moving = scene(background(zoom=np.log(3), centre=(10.5, 30.5)))
    np.testing.assert_allclose(moving.flow(1)[10, 5], (0, -10), atol=1e-5)


def test_front_layer_hides_those_behind_where_it_fills_most_of_a_pixel():
    # Opaque x from 21 to 30 and 26 to 35, y from 11 to 20; LR pixels are of 2.
    layers = scene(background(), square((20, 10)), square((25, 10), colour=0))
    expected = np.zeros(SIZE, int)
    expected[6:10, 11:13] = 1
    expected[6:10, 13:18] = 2
    # Pixels at the outer borders are half filled, these may be either.
    visible = layers.visible_layers(0)
    np.testing.assert_array_equal(visible[6:10, 11:17], expected[6:10, 11:17])
    assert not visible[:5].any() and not visible[11:].any()
    assert not visible[:, :10].any() and not visible[:, 18:].any()
    frame = layers.render(0)
    assert (frame[11:21, 21:26] == 255).all() and (frame[11:21, 26:36] == 0).all()
    np.testing.assert_array_equal(frame[22:], noise(60, 80)[22:])


def test_soft_masks_mix_colours():
    piece = square((20, 10))
    piece.mask[1:-1, 1:-1] = 0.25
    mixed = scene(background(np.full((60, 80, 3), 100, np.uint8)), piece).render(0)
    assert mixed[15, 25].tolist() == [139] * 3  # 100 * 0.75 + 255 * 0.25


@pytest.mark.parametrize('place', [(-6, 20), (76, 20), (20, -6), (20, 56), (-40, 20)])
def test_pieces_may_reach_out_of_the_frame(place):
    x, y = place
    frame = scene(background(np.zeros((60, 80, 3), np.uint8)), square(place)).render(0)
    expected = np.zeros((60, 80, 3), np.uint8)
    expected[max(y + 1, 0) : max(y + 11, 0), max(x + 1, 0) : max(x + 11, 0)] = 255
    np.testing.assert_array_equal(frame, expected)


def blend_over_frame(frame, piece, to_frame):
    """Blend all of a piece's image and mask, not only what is shown of them."""
    left, top = np.floor((to_frame @ piece.corners())[:2].min(1)).astype(int).clip(0)
    shift = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
    size = frame.shape[1] - left, frame.shape[0] - top
    if min(size) <= 0:
        return
    from_region = (np.linalg.inv(to_frame) @ shift)[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    colour, opacity = (
        cv2.warpAffine(image, from_region, size, flags=flags, borderMode=border)
        for image, border in (
            (piece.image, cv2.BORDER_REFLECT_101),
            (piece.mask, cv2.BORDER_CONSTANT),
        )
    )
    behind = frame[top:, left:].copy()
    frame[top:, left:] = cv2.blendLinear(colour, behind, opacity, 1 - opacity)


@pytest.mark.parametrize('seed', range(6))
def test_only_what_shows_no_pixel_of_a_piece_is_left_out(seed):
    moving = draw(seed, scale=2, size=(40, 50), num_pieces=4)
    time = 1.3 * seed - 3
    expected = scene_of(moving, moving.layers[:1]).render(time)
    for piece in moving.layers[1:]:
        to_frame = moving.camera.pose(time) @ piece.trajectory.pose(time)
        blend_over_frame(expected, piece, to_frame @ piece.placement)
    np.testing.assert_array_equal(moving.render(time), expected)


def test_masks_that_reach_the_border_mirror_the_image_beyond():
    image, place = noise(12, 12, seed=3), similarity(0.3, 1.1, (0, 0), (20.4, 9.7))
    mask = np.linspace(0.2, 1, 144, dtype=np.float32).reshape(12, 12)
    piece = Layer(image, mask, place, trajectory())
    expected = noise(60, 80)
    blend_over_frame(expected, piece, place)
    inside = np.ceil((place @ piece.corners())[:2].max(1)).astype(int) + 1
    expected[inside[1] :] = noise(60, 80)[inside[1] :]
    expected[:, inside[0] :] = noise(60, 80)[:, inside[0] :]
    np.testing.assert_array_equal(scene(background(), piece).render(0), expected)


def test_masks_may_show_nothing():
    piece = square((20, 10))
    piece.mask[:] = 0
    frame = scene(background(), piece).render(0)
    np.testing.assert_array_equal(frame, noise(60, 80))


def test_sub_frames_fill_the_exposure_about_the_middle(monkeypatch):
    monkeypatch.setattr(Scene, 'render', lambda self, time: time)
    # 24 HR pixels a frame, of which 12 in the exposure; steps of at most 1.5.
    times = list(scene(background(velocity=(24, 0))).sub_frames(1, 0.5))
    np.testing.assert_allclose(times, 1 + 0.5 * np.arange(-4, 5) / 9)
    assert times[4] == 1
    # A piece that is faster than the background, and nothing that moves.
    moving = scene(background(), square((20, 10), velocity=(0, 48)))
    assert len(list(moving.sub_frames(0, 0.5))) == 17
    assert list(scene(background()).sub_frames(0, 1)) == pytest.approx(
        [-1 / 3, 0, 1 / 3]
    )


def draw(seed, speed=4.0, size=(64, 80), scale=1, sigma=6.0, num_pieces=3):
    photo = noise(200, 200, sigma, seed)
    rng = np.random.default_rng(seed)
    return sample_scene(rng, lambda _: photo, size, scale, num_pieces, speed)


def scene_of(moving, layers):
    return Scene(layers, moving.camera, moving.size, moving.scale)


@pytest.mark.parametrize('speed', [0.0, 0.5, 6.0])
def test_speed_is_the_mean_flow_to_the_neighbours(speed):
    for seed in range(5):
        moving = draw(seed, speed, scale=4)
        lengths = np.linalg.norm([moving.flow(-1), moving.flow(1)], axis=-1)
        assert lengths.mean() == pytest.approx(speed, rel=0.01)
        np.testing.assert_array_equal(
            moving.render(0), draw(seed, 1, scale=4).render(0)
        )


@pytest.mark.parametrize('time', [-1, 1])
def test_frames_warped_by_the_flow_are_the_centre_frame(time):
    """On smooth photos, where both show the same layer; scale 1, to see HR pixels."""
    for seed in range(4):
        moving = draw(seed)
        flow = moving.flow(time)
        rows, columns = np.mgrid[:64, :80].astype(np.float32)
        x, y = columns + flow[..., 0], rows + flow[..., 1]

        def sample(image, x=x, y=y):
            return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderValue=-1000)

        warped = sample(moving.render(time).astype(np.float32))
        error = np.abs(warped - moving.render(0)).max(-1)
        # Apart from outlines, where layers mix.
        seen = np.ones((64, 80), bool)
        for number in range(len(moving.layers)):
            then = (moving.visible_layers(time) == number).astype(np.float32)
            now = (moving.visible_layers(0) == number).astype(np.uint8)
            now = cv2.erode(now, np.ones((9, 9)), borderValue=1)
            then = cv2.erode(then, np.ones((9, 9)), borderValue=1)
            seen &= (moving.visible_layers(0) != number) | (
                (now == 1) & (sample(then) > 0.99)
            )
        assert seen.mean() > 0.4
        assert error[seen].max() < 4 and error[seen].mean() < 1
        # It is the flow that does it.
        unmoved = moving.render(time)[seen] - moving.render(0)[seen].astype(float)
        assert np.abs(unmoved).mean() > 5
