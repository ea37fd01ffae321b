# shellcheck shell=bash
# The service's environment: `source scripts/env.sh`, in bash or zsh.
#
# What is set already wins, then `.env` at the project's top level, then the defaults below. Nothing in `.env` is
# executed or expanded: each line is NAME=value, the value as it stands or in quotes. What is exported once counts as
# set from then on, so a changed `.env` needs a new shell.

_parakeet_read_dotenv() {
    local _parakeet_line _parakeet_name _parakeet_value _parakeet_number=0
    while IFS= read -r _parakeet_line || [ -n "$_parakeet_line" ]; do
        _parakeet_number=$((_parakeet_number + 1))
        _parakeet_line=${_parakeet_line%$'\r'}
        _parakeet_line=${_parakeet_line#"${_parakeet_line%%[![:space:]]*}"}
        case $_parakeet_line in
            '' | '#'*) continue ;;
            'export '*) _parakeet_line=${_parakeet_line#export } ;;
        esac
        case $_parakeet_line in
            *=*) _parakeet_name=${_parakeet_line%%=*} ;;
            *) _parakeet_name='' ;;
        esac
        _parakeet_name=${_parakeet_name#"${_parakeet_name%%[![:space:]]*}"}
        _parakeet_name=${_parakeet_name%"${_parakeet_name##*[![:space:]]}"}
        case $_parakeet_name in
            '' | [0-9]* | *[!A-Za-z0-9_]*)
                echo ".env: line $_parakeet_number is not NAME=value; it was skipped" >&2
                continue
                ;;
        esac
        if [[ -v $_parakeet_name ]]; then
            # shellcheck disable=SC2163 # the variable that is named, not the one that holds the name
            export "$_parakeet_name"
            continue
        fi
        _parakeet_value=${_parakeet_line#*=}
        _parakeet_value=${_parakeet_value#"${_parakeet_value%%[![:space:]]*}"}
        case $_parakeet_value in
            \"*\"*) _parakeet_value=${_parakeet_value#\"} _parakeet_value=${_parakeet_value%%\"*} ;;
            \'*\'*) _parakeet_value=${_parakeet_value#\'} _parakeet_value=${_parakeet_value%%\'*} ;;
            '#'*) _parakeet_value='' ;;
            *)
                _parakeet_value=${_parakeet_value%%[[:space:]]#*}
                _parakeet_value=${_parakeet_value%"${_parakeet_value##*[![:space:]]}"}
                ;;
        esac
        export "$_parakeet_name=$_parakeet_value"
    done <"$1"
}

# In zsh, which has no BASH_SOURCE, `$0` is this file's path.
_parakeet_scripts=${BASH_SOURCE[0]:-$0}
case $_parakeet_scripts in
    */*) _parakeet_scripts=${_parakeet_scripts%/*} ;;
    *) _parakeet_scripts=. ;;
esac
if [ -f "$_parakeet_scripts/../.env" ]; then
    _parakeet_read_dotenv "$_parakeet_scripts/../.env"
fi
unset _parakeet_scripts
unset -f _parakeet_read_dotenv

export PARAKEET_MODEL_ID="${PARAKEET_MODEL_ID:-nvidia/parakeet-tdt-0.6b-v2}"
export PARAKEET_USE_LOCAL_ATTENTION="${PARAKEET_USE_LOCAL_ATTENTION:-1}"
export PARAKEET_LOCAL_ATTENTION_CONTEXT="${PARAKEET_LOCAL_ATTENTION_CONTEXT:-128}"
export PARAKEET_SUBSAMPLING_CHUNKING_FACTOR="${PARAKEET_SUBSAMPLING_CHUNKING_FACTOR:-1}"
export PARAKEET_QUEUE_MAX_FACTOR="${PARAKEET_QUEUE_MAX_FACTOR:-32}"
export PARAKEET_MAX_QUEUE_WAIT_S="${PARAKEET_MAX_QUEUE_WAIT_S:-2}"
export PARAKEET_MICROBATCH_WINDOW_MS="${PARAKEET_MICROBATCH_WINDOW_MS:-10}"
export PARAKEET_MICROBATCH_MAX_BATCH="${PARAKEET_MICROBATCH_MAX_BATCH:-}"
export PARAKEET_MAX_AUDIO_SECONDS="${PARAKEET_MAX_AUDIO_SECONDS:-600}"
export PARAKEET_MAX_UPLOAD_MB="${PARAKEET_MAX_UPLOAD_MB:-64}"

export PARAKEET_HOST="${PARAKEET_HOST:-0.0.0.0}"
export PARAKEET_PORT="${PARAKEET_PORT:-8000}"
export PARAKEET_LOG_DIR="${PARAKEET_LOG_DIR:-logs}"

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-6}"
export MKL_NUM_THREADS="${MKL_NUM_THREADS:-6}"
export CUDA_MODULE_LOADING="${CUDA_MODULE_LOADING:-LAZY}"
