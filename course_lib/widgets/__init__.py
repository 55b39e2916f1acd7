"""Live widgets: change a kernel, look at images, open a network, draw a digit.

Each works in Jupyter, bound to Python both ways, and on a page of the book without a kernel.
"""

from course_lib.widgets.digit_pad import DigitPad
from course_lib.widgets.image_browser import ImageBrowser
from course_lib.widgets.kernel_explorer import KernelExplorer
from course_lib.widgets.network_explorer import NetworkExplorer

__all__ = ["DigitPad", "ImageBrowser", "KernelExplorer", "NetworkExplorer"]
