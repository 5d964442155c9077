#!/bin/sh
# sbom.sh BIN: write build/sbom/NAME.json, the parts of each image in CycloneDX as its requirements
# name them, and build/sbom/licences.md, the licences of what is installed in BIN's environment.
set -eu
bin=$1
mkdir -p build/sbom
for file in docker/requirements/*.txt; do
  name=$(basename "$file" .txt)
  "$bin/cyclonedx-py" requirements --output-reproducible --sv 1.6 --of JSON \
    -o "build/sbom/$name.json" "$file"
done
"$bin/pip-licenses" --python "$bin/python" --from mixed --format markdown --order license \
  --with-urls --output-file build/sbom/licences.md
echo "build/sbom: $(ls build/sbom | tr '\n' ' ')"
