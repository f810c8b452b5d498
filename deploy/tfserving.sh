#!/bin/sh
# Serves MODEL_NAME below MODEL_BASE_PATH as the official image does; without a name, every folder there.
# Arguments are those of `tensorflow_model_server`.
set -eu
if [ -z "$MODEL_NAME" ]; then
    config=$(mktemp)
    {
        echo "model_config_list {"
        for folder in "${MODEL_BASE_PATH}"/*/; do
            name=$(basename "$folder")
            echo "  config { name: \"$name\" base_path: \"${folder%/}\" model_platform: \"tensorflow\" }"
        done
        echo "}"
    } >"$config"
    set -- --model_config_file="$config" "$@"
fi
exec tensorflow_model_server --port=8500 --rest_api_port=8501 \
    --model_name="$MODEL_NAME" --model_base_path="$MODEL_BASE_PATH/$MODEL_NAME" "$@"
