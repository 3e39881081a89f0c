"""Puts `hf_sign_guard.pth` beside the packages, which no setting of setuptools does."""

import os
import zipfile
from glob import glob

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

PTH = "hf_sign_guard.pth"


class BuildWithPth(build_py):
    """Builds the packages, and adds the file."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if not self.editable_mode:
            self.copy_file(PTH, os.path.join(self.build_lib, PTH), preserve_mode=False)


class EditableWheelWithPth(editable_wheel):
    """Makes the wheel of a checkout, and adds the file."""

    def run(self) -> None:
        """Make the wheel, then add to it."""
        super().run()
        (wheel,) = glob(os.path.join(self.dist_dir, "*.whl"))
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.write(PTH, PTH)


setup(cmdclass={"build_py": BuildWithPth, "editable_wheel": EditableWheelWithPth})
