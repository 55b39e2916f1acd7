"""The figures: what they show, and what they refuse."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from course_lib import plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_image_rows_draw_each_picture_in_its_place():
    photos, maps = np.random.default_rng(1).random((2, 8, 8, 3)), np.arange(32.0).reshape(2, 4, 4)
    figure = plots.image_rows({"photo": photos, "map": maps}, ["cat", "ship"])
    drawn = [panel.images[0] for panel in figure.axes]
    for picture, given in zip(drawn, [*photos, *maps], strict=True):
        np.testing.assert_array_equal(picture.get_array(), given)
    assert [picture.get_clim() for picture in drawn[2:]] == [(0, 15), (0, 31)]
    assert [panel.get_ylabel() for panel in figure.axes] == ["photo", "", "map", ""]


def test_image_rows_need_a_picture_in_each_column():
    with pytest.raises(ValueError, match="3 pictures in the row 'map', but 2 titles"):
        plots.image_rows({"photo": np.zeros((2, 8, 8)), "map": np.zeros((3, 8, 8))}, ["cat", "ship"])
