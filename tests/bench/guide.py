"""The plain list: what a person who follows the guide types, as two scripts, root's and the account's.

Sections 3.2 to 3.5 of the guide without its two upgrades (of conda and of pip), which would ask the
mirrors for other versions than a pinned stack has. What the guide leaves to its reader is done in the
plainest way; what it has not, because it is sdops' own, is a copy of the program and one start of it.
"""

from __future__ import annotations

#: Before each part, its name and the time on standard output; the names are those of the roles.
AT = 'set -ef; at() { echo "@ $1 $EPOCHREALTIME"; }\n'

#: 3.3 and 3.3.1: tmux, and an unprivileged user with SSH access.
ROOT = (
    AT
    + """
at service_user
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends $packages
useradd --create-home --shell /bin/bash sdops
install -d -m 0700 -o sdops -g sdops /home/sdops/.ssh
install -m 0600 -o sdops -g sdops ~/.ssh/authorized_keys /home/sdops/.ssh/authorized_keys
"""
)

#: 3.3.2 to 3.5, and 3.2, whose token only now has a place to lie in.
ACCOUNT = (
    AT
    + """
at miniconda
wget -q $miniconda_url
bash ${miniconda_url##*/} -b
. ~/miniconda3/etc/profile.d/conda.sh
echo ". ~/miniconda3/etc/profile.d/conda.sh" | tee -a ~/.profile >> ~/.bashrc
conda --version

at stack_env
export CONDA_CHANNEL_ALIAS=$channels CONDA_OVERRIDE_CUDA=$cuda
conda create -y -q --name env1 --override-channels -c conda-forge python=$python
conda activate env1
hooks=$CONDA_PREFIX/etc/conda/activate.d
mkdir -p $hooks
echo 'export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$CONDA_PREFIX/lib/' > $hooks/env_vars.sh
if [ -n "$conda_packages" ]; then
    conda install -y -q --name env1 --override-channels -c pytorch -c conda-forge $conda_packages
fi
conda deactivate
conda activate env1
pip install -q --disable-pip-version-check --require-hashes --no-deps --requirement ~/pip.txt \
    --index-url $index --trusted-host $index_host
python -c 'import torch; print(torch.version.cuda, torch.cuda.is_available())'

at hub_token
install -d -m 0700 ~/.cache/huggingface
(umask 077; echo -n $token > ~/.cache/huggingface/token)

at runtime
HF_HUB_DISABLE_TELEMETRY=1 python ~/sdops-runtime.pyz version
"""
)
