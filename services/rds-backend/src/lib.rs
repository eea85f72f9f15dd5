//! The appliance: SSH, RouterOS, and the life of volumes and attachments
