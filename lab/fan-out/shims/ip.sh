#!/bin/sh
# A host's own address, which no cable of its own carries; no routes that lead out.
case "$*" in
  "-json address show up")
    read -r address < /etc/address
    printf '[{"ifname":"eth0","mtu":1500,"addr_info":[{"local":"%s","prefixlen":16,"scope":"global"}]}]\n' "$address" ;;
  *"route show default") ;;
  *) exec /usr/bin/ip "$@" ;;
esac
