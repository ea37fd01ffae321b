#!/usr/bin/env bash
# Stops the service and removes what it and its set-up have left on this machine: logs, model caches, .venv, pip's
# cache, build leftovers. Only names that are known to be ours or pip's are removed, and links are never followed.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

home=~ # from the user database where HOME is not set
user_cache=${XDG_CACHE_HOME:-$home/.cache}
removed=0
removed_kib=0
left_over=0

holds_more() { # the project or the user's home is in it, or it is at the root of the file system
    [[ $1 != /*/* || "$root/" == "$1"/* || "$home/" == "$1"/* ]]
}

remove() { # path...: removes what exists of them and says how large it was
    local path kib
    for path; do
        path=$(realpath --no-symlinks --canonicalize-missing -- "${path/#\~\//"$home"/}")
        [[ -e $path || -L $path ]] || continue
        ! holds_more "$path" || fail "$path is not removed: it holds more than this project's logs and caches."
        kib=$(du -sk -- "$path" | cut -f 1) || kib=0
        if ! rm -rf -- "$path"; then
            left_over=1
            continue
        fi
        removed=$((removed + 1))
        removed_kib=$((removed_kib + kib))
        echo "Removed $(in_words "$kib")  $path"
    done
}

in_words() { # KiB
    numfmt --from-unit=1024 --to=iec --suffix=B --padding=7 "$1"
}

remove_logs() {
    [[ $log_dir != "$root/logs" || -L $log_dir ]] || remove "$log_dir"
    remove "$log_dir"/server.log "$log_dir"/server.log.1 "$log_dir"/{server,supervisor}.pid "$log_dir"/supervisor.ready "$log_dir"/metrics/metrics.log*
    rmdir -- "$log_dir/metrics" "$log_dir" 2>/dev/null || true
}

remove_model_cache() { # hub id; a path or `tiny` has no cache
    local id=$1 name=${1#*/} hub_name=models--${1/\//--} hub
    [[ $id =~ ^[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$ ]] || return 0
    hub=${HF_HUB_CACHE:-${HUGGINGFACE_HUB_CACHE:-${HF_HOME:-$user_cache/huggingface}/hub}}
    remove "$hub/$hub_name" "$hub/.locks/$hub_name" "$home"/.cache/torch/NeMo/NeMo_*/{"$name","hf_hub_cache/$id"} \
        ${NEMO_CACHE_DIR:+"$NEMO_CACHE_DIR/hf_hub_cache/$id"}
}

remove_pip_cache() { # only the folders that pip makes in it, since PIP_CACHE_DIR may be anything
    local cache
    cache=$("$python" -m pip cache dir 2>/dev/null) || cache=$(python3 -m pip cache dir 2>/dev/null) ||
        cache=${PIP_CACHE_DIR:-$user_cache/pip}
    ! holds_more "$cache" || return 0
    remove "$cache"/{http,http-v2,wheels,selfcheck}
    rmdir -- "$cache" 2>/dev/null || true
}

remove_build_leftovers() {
    remove "$root"/{build,.mypy_cache,.pytest_cache,.ruff_cache,.hypothesis} "$root"/*.egg-info "$root/test/results" "$root/test/sdk/js/node_modules"
    local found
    while IFS= read -r -d '' found; do
        remove "$found"
    done < <(find "$root/src" "$root/test" -type d -name __pycache__ -prune -print0)
}

use_settings
bash scripts/stop.sh
remove_logs
remove_model_cache nvidia/parakeet-tdt-0.6b-v2
remove_model_cache "$PARAKEET_MODEL_ID"
remove_pip_cache
remove "$root/.venv"
remove_build_leftovers
if ((removed == 0 && left_over == 0)); then
    echo "There was nothing to remove."
else
    echo "Removed $(in_words "$removed_kib")  in all"
fi
exit "$left_over"
