"""Entry point for tools that still call setup.py, and what a wheel leaves out; the metadata is in pyproject.toml."""

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithoutTests(build_py):
    """Copies the modules of a package but its tests, which stand beside what they test."""

    def find_package_modules(self, package, package_dir):
        """The modules of a package, as (package, module, file)."""
        found = super().find_package_modules(package, package_dir)
        return [each for each in found if not each[1].startswith("test_") and each[1] != "conftest"]


setup(cmdclass={"build_py": BuildWithoutTests})
