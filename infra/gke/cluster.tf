resource "google_container_cluster" "conveyor" {
  name       = var.name
  location   = var.zone
  network    = google_compute_network.conveyor.id
  subnetwork = google_compute_subnetwork.conveyor.id

  # Dataplane V2 enforces the NetworkPolicies of manifests/.
  datapath_provider   = "ADVANCED_DATAPATH"
  deletion_protection = var.deletion_protection

  # A cluster begins with a pool, which gives way to those below.
  initial_node_count       = 1
  remove_default_node_pool = true

  node_config {
    service_account = google_service_account.machines.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
  }

  release_channel {
    channel = "REGULAR"
  }

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  workload_identity_config {
    workload_pool = local.workload_pool
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  master_authorized_networks_config {
    gcp_public_cidrs_access_enabled = false

    dynamic "cidr_blocks" {
      for_each = var.administrators

      content {
        display_name = cidr_blocks.key
        cidr_block   = cidr_blocks.value
      }
    }
  }

  addons_config {
    # The bucket as a volume.
    gcs_fuse_csi_driver_config {
      enabled = true
    }
  }

  lifecycle {
    # That of the pool which has given way.
    ignore_changes = [node_config]
  }
}

resource "google_container_node_pool" "machines" {
  name     = "machines"
  cluster  = google_container_cluster.conveyor.id
  location = var.zone

  autoscaling {
    min_node_count = 1
    max_node_count = var.max_machines
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type    = var.machine_type
    service_account = google_service_account.machines.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]

    shielded_instance_config {
      enable_secure_boot = true
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}

resource "google_container_node_pool" "gpu" {
  count = var.gpu == null ? 0 : 1

  name     = "gpu"
  cluster  = google_container_cluster.conveyor.id
  location = var.zone

  # GKE taints these machines with nvidia.com/gpu, so only pods that tolerate it come here.
  autoscaling {
    min_node_count = 0
    max_node_count = var.gpu.max_machines
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type    = var.gpu.machine_type
    service_account = google_service_account.machines.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]

    guest_accelerator {
      type  = var.gpu.accelerator
      count = var.gpu.count

      gpu_driver_installation_config {
        gpu_driver_version = "DEFAULT"
      }
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}
