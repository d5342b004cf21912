#!/bin/sh
for script in /.singularity.d/env/*.sh; do
    if [ -f "$script" ]; then
        . "$script"
    fi
done
for shell in "${APPTAINER_SHELL:-}" "${SINGULARITY_SHELL:-}" /bin/bash /bin/sh; do
    if [ -n "$shell" ] && [ -x "$shell" ]; then
        SHELL=$shell
        export SHELL
        exec "$shell" "$@"
    fi
done
echo "the image has no shell" >&2
exit 1
