//! Sealock node: touches one machine: steps, files, services, containerd, kubeadm, network.
