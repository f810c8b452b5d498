#!/bin/sh
# Serves every bundle below MODEL_BASE_PATH, or MODEL_NAME alone; arguments are those of `kerazoo serve`.
set -eu
for folder in "${MODEL_BASE_PATH}"/${MODEL_NAME:-*}/; do
    # Without a name there may be no bundle at all; a name that has no folder is for the server to complain about.
    if [ -d "$folder" ] || [ -n "$MODEL_NAME" ]; then
        set -- "$(basename "$folder")=${folder%/}" "$@"
    fi
done
exec kerazoo serve "$@"
