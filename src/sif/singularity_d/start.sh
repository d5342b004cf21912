#!/bin/sh
for script in /.singularity.d/env/*.sh; do
    if [ -f "$script" ]; then
        . "$script"
    fi
done
if [ -x /.singularity.d/startscript ]; then
    exec /.singularity.d/startscript "$@"
fi
