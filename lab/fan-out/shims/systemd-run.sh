#!/bin/sh
# A transient unit as far as the station asks for one: it outlives the session, with the files that it is told.
while :; do
  case "$1" in
    --unit=*) unit=${1#*=} ;;
    --property=StandardInput=file:*) input=${1#*file:} ;;
    --property=StandardOutput=append:*) output=${1#*append:} ;;
    --property=StandardError=file:*) errors=${1#*file:} ;;
    --*) ;;
    *) break ;;
  esac
  shift
done
# Open before this ends: the secrets are taken away then.
exec 3< "$input" 4>> "$output" 5> "$errors"
mkdir -p /run/units
setsid "$@" <&3 >&4 2>&5 3<&- 4>&- 5>&- &
echo $! > "/run/units/$unit"
