"""Build steps that add `_hf_sign_guard.pth` to wheels, beside the packages; setuptools has no setting for that."""

# Why: docs/decisions/002-pth-file.md

import os
import zipfile
from glob import glob

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

PTH = "_hf_sign_guard.pth"


class BuildWithPth(build_py):
    """Build the packages and add the `.pth` file."""

    def run(self) -> None:
        """Build, then copy the file."""
        super().run()
        if not self.editable_mode:
            self.copy_file(PTH, os.path.join(self.build_lib, PTH), preserve_mode=False)


class EditableWheelWithPth(editable_wheel):
    """Make the wheel of an editable install and add the `.pth` file."""

    def run(self) -> None:
        """Make the wheel, then append the file to it."""
        super().run()
        (wheel,) = glob(os.path.join(self.dist_dir, "*.whl"))
        with zipfile.ZipFile(wheel, "a") as archive:
            archive.write(PTH, PTH)


setup(cmdclass={"build_py": BuildWithPth, "editable_wheel": EditableWheelWithPth})
