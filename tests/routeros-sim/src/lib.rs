//! A simulated RouterOS appliance: SSH, the scripting language, file-backed disks, a storage portal
