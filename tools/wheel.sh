#!/bin/sh
# Build the wheel, make it fit for other machines (manylinux tag, libgomp inside, stripped), and try it in a
# fresh environment that finds no compiler. Called by `make wheel`.
set -eu
bin=$PWD/.venv-wheel/bin
rm -rf build/lib* build/bdist* dist wheelhouse
"$bin/python" -m build --wheel --outdir dist . >dist.log 2>&1 || { cat dist.log; rm -f dist.log; exit 1; }
rm -f dist.log
PATH=$bin:$PATH "$bin/auditwheel" repair --strip --zip-compression-level 9 --wheel-dir wheelhouse dist/*.whl

wheel=$(ls wheelhouse/*.whl)
size=$(wc -c <"$wheel")
echo "$wheel: $size bytes"
[ "$size" -lt 1500000 ] || { echo "the wheel is larger than 1.5 MB"; exit 1; }

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$PYTHON" -m venv "$fresh/env"
"$fresh/env/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel" \
  $("$PYTHON" tools/extras.py test)
cp -r tests "$fresh/tests"
cd "$fresh"
unset PYTHONPATH FASTNN_ISA
(
  PATH=$fresh/env/bin
  python -m fastnn info
  python -m pytest -q -p no:cacheprovider \
    tests/test_build.py tests/test_isa.py tests/test_threads.py tests/test_fork.py
)
echo "wheel: $wheel works without a compiler"
