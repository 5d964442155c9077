#!/bin/sh
# Runs while an image is built, beside the requirements that it installs.
#   install.sh PYTHON NAME [MORE...]   make /opt/venv of NAME.txt, checked by hash, and its SBOM;
#                                      MORE comes from the vendor's index and has no hash here
#   install.sh code                    make what was copied to /opt/millirank importable
set -eu
here=$(dirname "$0")
venv=/opt/venv

if [ "$1" = code ]; then
  mv /opt/millirank/millirank "$venv/bin/millirank"
  chmod 0755 "$venv/bin/millirank"
  echo /opt/millirank > "$(echo $venv/lib/python3.*/site-packages)/millirank.pth"
  # A read-only root file system takes no bytecode later, and every start would compile anew.
  "$venv/bin/python" -m compileall -q /opt/millirank
  exit
fi

python=$1 name=$2
shift 2
# The pip of the base installs into a virtual environment that has none.
pip=$("$python" -c 'import pip; print(pip.__path__[0])')
install_into() {
  into=$1
  shift
  [ -d "$into" ] || "$python" -m venv --without-pip "$into"
  "$into/bin/python" "$pip" install --quiet --no-cache-dir --no-input --ignore-installed \
    --disable-pip-version-check --root-user-action=ignore "$@"
}
pinned="--require-hashes --no-deps --only-binary :all: -r"

install_into "$venv" $pinned "$here/$name.txt"
for more in "$@"; do
  install_into "$venv" "$more"
done
# What other Pythons would load, and what only compilers and developers read.
version=${python#python}
tag=$(echo "$version" | tr -d .)
find "$venv" -path '*/python_backend_stubs/3.*' -prune ! -name "$version" -exec rm -r {} +
find "$venv" -name '*.cpython-3*.so' ! -name "*.cpython-$tag-*" -delete
find "$venv" -path '*/site-packages/*' -type d \( -name include -o -name tests \) -prune \
  -exec rm -r {} +

mkdir -p /usr/share/millirank
install_into /build/sbom $pinned "$here/sbom.txt"
/build/sbom/bin/cyclonedx-py environment --output-reproducible --sv 1.6 \
  -o /usr/share/millirank/sbom.json "$venv/bin/python"
