//! What is known of Ansible's connection variables.

/// Passwords and keys: Sealock logs in by key, and becomes root without a password.
pub(super) const SECRET: &[&str] = &[
    "ansible_password",
    "ansible_pass",
    "ansible_ssh_pass",
    "ansible_ssh_password",
    "ansible_become_password",
    "ansible_become_pass",
    "ansible_sudo_pass",
    "ansible_su_pass",
    "ansible_ssh_private_key",
    "ansible_private_key",
    "ansible_ssh_private_key_passphrase",
    "ansible_private_key_passphrase",
];

/// How Ansible works on a host that it has reached, or how patient it is: nothing that Sealock needs.
pub(super) const OF_ANSIBLE_ALONE: &[&str] = &[
    "ansible_async_dir",
    // Where the account is not root, Sealock uses sudo whatever Ansible does.
    "ansible_become",
    "ansible_become_exe",
    "ansible_become_flags",
    "ansible_host_key_checking",
    "ansible_pipelining",
    "ansible_python_interpreter",
    "ansible_remote_tmp",
    "ansible_remote_tempdir",
    "ansible_scp_executable",
    "ansible_sftp_executable",
    "ansible_shell_executable",
    "ansible_shell_type",
    "ansible_ssh_host_key_checking",
    "ansible_ssh_pipelining",
    "ansible_ssh_retries",
    "ansible_ssh_timeout",
    "ansible_ssh_transfer_method",
    "ansible_system_tmpdirs",
    "ansible_timeout",
];

/// Our own: what a cluster spec says of a host and Ansible has no word for.
pub(super) const OURS: &[&str] =
    &["sealock_address", "sealock_host_key", "sealock_labels", "sealock_pods", "sealock_taints"];
