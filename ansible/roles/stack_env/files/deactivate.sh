# Takes the environment's libraries off the loader's path; what else is on it stays.
case ":${LD_LIBRARY_PATH-}:" in
    *":$CONDA_PREFIX/lib:"*)
        __sdops_path=":$LD_LIBRARY_PATH:"
        __sdops_path="${__sdops_path%%":$CONDA_PREFIX/lib:"*}:${__sdops_path#*":$CONDA_PREFIX/lib:"}"
        __sdops_path="${__sdops_path#:}"
        LD_LIBRARY_PATH="${__sdops_path%:}"
        [ -n "$LD_LIBRARY_PATH" ] || unset LD_LIBRARY_PATH
        unset __sdops_path
        ;;
esac
