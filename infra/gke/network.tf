resource "google_compute_network" "conveyor" {
  name                    = var.name
  auto_create_subnetworks = false

  depends_on = [google_project_service.required]
}

resource "google_compute_subnetwork" "conveyor" {
  name                     = var.name
  network                  = google_compute_network.conveyor.id
  region                   = var.region
  ip_cidr_range            = "10.0.0.0/20"
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = "10.4.0.0/14"
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = "10.8.0.0/20"
  }
}

# Machines have no addresses of their own: what they fetch from outside, such as Kubeflow's images, goes through here.
resource "google_compute_router" "conveyor" {
  name    = var.name
  network = google_compute_network.conveyor.id
  region  = var.region
}

resource "google_compute_router_nat" "conveyor" {
  name                               = var.name
  router                             = google_compute_router.conveyor.name
  region                             = var.region
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
}

# Within the network, Cloud Storage has the few addresses of private.googleapis.com, which a NetworkPolicy can name: manifests/serving/gcsfuse.
resource "google_dns_managed_zone" "storage" {
  name       = "${var.name}-storage"
  dns_name   = "storage.googleapis.com."
  visibility = "private"

  private_visibility_config {
    networks {
      network_url = google_compute_network.conveyor.id
    }
  }

  depends_on = [google_project_service.required]
}

resource "google_dns_record_set" "storage" {
  managed_zone = google_dns_managed_zone.storage.name
  name         = google_dns_managed_zone.storage.dns_name
  type         = "A"
  ttl          = 300
  rrdatas      = ["199.36.153.8", "199.36.153.9", "199.36.153.10", "199.36.153.11"]
}
