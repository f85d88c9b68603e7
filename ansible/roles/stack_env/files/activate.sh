# Puts the environment's libraries on the loader's path, once. deactivate.d/env_vars.sh takes them off again.
case ":${LD_LIBRARY_PATH-}:" in
    *":$CONDA_PREFIX/lib:"*) ;;
    # Without an empty element, which would stand for the current directory.
    *) export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$CONDA_PREFIX/lib" ;;
esac
