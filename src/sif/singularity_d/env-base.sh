#!/bin/sh
# libraries that the runtime binds (a GPU's, for example) are found behind the image's own
if [ -z "${LD_LIBRARY_PATH:-}" ]; then
    LD_LIBRARY_PATH=/.singularity.d/libs
else
    LD_LIBRARY_PATH=$LD_LIBRARY_PATH:/.singularity.d/libs
fi
PS1='Apptainer> '
export LD_LIBRARY_PATH PS1
