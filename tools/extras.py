"""Print the packages of an extra in pyproject.toml: `pip install $(python tools/extras.py test)`.

For an environment that has the package already: `pip install .[test]` would build it again.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
for extra in sys.argv[1:]:
    print(*(package.replace(" ", "") for package in project["optional-dependencies"][extra]))
