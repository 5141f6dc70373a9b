# The volume of docs/cluster-real.md, "Cloud Storage FUSE". With a hierarchical namespace, a push renames a folder in a single step.
resource "google_storage_bucket" "volume" {
  name                        = "${var.name}-${var.project}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  hierarchical_namespace {
    enabled = true
  }

  soft_delete_policy {
    # Seven days.
    retention_duration_seconds = 604800
  }

  depends_on = [google_project_service.required]
}

resource "google_artifact_registry_repository" "images" {
  repository_id = var.name
  location      = var.region
  format        = "DOCKER"

  depends_on = [google_project_service.required]
}
