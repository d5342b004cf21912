#!/bin/sh
# an OCI image defines no service beyond its ENTRYPOINT: `run` starts that
