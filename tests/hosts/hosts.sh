# shellcheck shell=bash
# hosts.sh -- sourced after tap.sh: two "hosts", network namespaces $a and $b joined by a veth pair, each with a host name of
# its own; $net.1 and $net.2 are their addresses, $work/agent starts mpirun's daemons there, $work/hosts names them.
[ "$(id -u)" = 0 ] || skip_all "two hosts: network namespaces need root"
for name in ip unshare h5diff; do
    command -v $name >/dev/null || skip_all "two hosts: $name is missing (packages iproute2, util-linux, hdf5-tools)"
done
a=tess-$$-a b=tess-$$-b net=10.91.$(($$ % 256))

stop() {
    local host id
    for host in $a $b; do
        for id in $(ip netns pids $host 2>/dev/null); do kill -KILL "$id"; done
        ip netns del $host
    done 2>/dev/null
}
ip netns add $a 2>"$work/why" && ip netns add $b 2>>"$work/why" &&
    ip link add veth0 netns $a type veth peer name veth0 netns $b 2>>"$work/why" ||
    skip_all "two hosts: namespaces are not permitted here: $(head -n 1 "$work/why")"
for host in $a $b; do
    [ $host = $a ] && address=$net.1 || address=$net.2
    ip -n $host addr add "$address/24" dev veth0
    ip -n $host link set lo up
    ip -n $host link set veth0 up
done

# What ssh does elsewhere: AGENT HOST COMMAND…
cat >"$work/agent" <<END
#!/bin/sh
case \$1 in $net.1) host=$a ;; *) host=$b ;; esac
shift
exec ip netns exec \$host unshare --uts --mount sh -c "hostname \$host; mount -t tmpfs tmpfs $work/own; \$*"
END
chmod +x "$work/agent"
mkdir "$work/own" # a disk of each host's own
printf '%s slots=2\n' $net.1 $net.2 >"$work/hosts"
# on_hosts COMMAND…: on the first host; its mpirun finds both, and they talk by the link between them.
on_hosts() {
    OMPI_MCA_plm_rsh_agent=$work/agent PRTE_MCA_plm_ssh_agent=$work/agent \
        OMPI_MCA_oob_tcp_if_include=$net.0/24 PRTE_MCA_prte_if_include=$net.0/24 OMPI_MCA_btl_tcp_if_include=$net.0/24 \
        "$work/agent" $net.1 "$@"
}
