# ./dev run: a server to try, with a state of its own that outlives it.
# Sourced by ./dev.

random_secret() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# The state folder, with a secret and an API key that are made once.
make_state() {
    (
        umask 077
        mkdir -p "$state"
        [ -s "$secret_file" ] || random_secret >"$secret_file"
        [ -s "$keys_file" ] || printf 'dev=%s\n' "$(random_secret)" >"$keys_file"
    )
    chmod 700 "$state"
    chmod 600 "$secret_file" "$keys_file"
}

# The address that the flags ask for, or else the environment, or else the default.
find_listen() {
    listen=${DORMOUSE_LISTEN:-127.0.0.1:8080}
    take=
    for word in "$@"; do
        [ -z "$take" ] || listen=$word
        take=
        case $word in
        --listen) take=1 ;;
        --listen=*) listen=${word#--listen=} ;;
        esac
    done
}

# Whether somebody listens on that TCP port already, from the kernel's tables.
port_taken() {
    hex=$(printf '%04X' "$1" 2>/dev/null) || return 1
    awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
        END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

refuse_taken_port() {
    case $listen in
    unix:*) return 0 ;;
    esac
    if port_taken "${listen##*:}"; then
        die "port ${listen##*:} is taken by another program; choose another:
  ./dev run --listen 127.0.0.1:9090"
    fi
}

introduce() {
    program=$(quoted "$root/build/dormouse")
    with_secret="DORMOUSE_JWT_SECRET_FILE=$(quoted "$secret_file")"
    token=$(DORMOUSE_JWT_SECRET_FILE=$secret_file "$root/build/dormouse" token --user alice --ttl 24h)
    cat <<END

dormouse serves on      http://$listen
its state lives in      $state
                        (to begin anew: stop it, then rm -r $(quoted "$state"))
a token for alice, good for a day:

$token

In a second terminal, be alice: print what arrives, and acknowledge it.

  $with_secret $program connect --url ws://$listen/ --user alice --filter type=message --ack '{"seen":true}'

In a third, publish to her; the answer shows her acknowledgement.

  curl -sS http://$listen/publish -H "authorization: Bearer \$(cut -d= -f2- $(quoted "$keys_file"))" -H 'content-type: application/json' -d '{"userId":"alice","type":"message","payload":{"hello":"world"}}'

END
}

dev_run() {
    state=${XDG_STATE_HOME:-$HOME/.local/state}/dormouse
    secret_file=$state/jwt_secret
    keys_file=$state/api_keys
    find_listen "$@"
    refuse_taken_port
    need_build
    build_release
    make_state
    introduce
    export DORMOUSE_JWT_SECRET_FILE="$secret_file" DORMOUSE_API_KEYS_FILE="$keys_file"
    export DORMOUSE_LISTEN="$listen" DORMOUSE_DATABASE="${DORMOUSE_DATABASE:-$state/dormouse.db}"
    exec "$root/build/dormouse" serve "$@"
}
