#!/bin/sh
export PATH='/usr/bin:/bin'
[ -n "${GREETING:-}" ] || GREETING='it'"'"'s me'
export GREETING
