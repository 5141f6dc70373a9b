locals {
  workload_pool = "${var.project}.svc.id.goog"
  principals    = "principal://iam.googleapis.com/projects/${data.google_project.this.number}/locations/global/workloadIdentityPools/${local.workload_pool}"

  # The ServiceAccounts of pods that mount the volume, as namespace/name.
  volume_users = toset([
    "${var.run_namespace}/pipeline-runner",
    "${var.run_namespace}/conveyor-loop",
    "${var.run_namespace}/conveyor-monitor",
    "${var.run_namespace}/default",
    "conveyor-serving/default",
  ])
}

# Read by each plan: cloudresourcemanager.googleapis.com has to be enabled before the first one.
data "google_project" "this" {
  project_id = var.project
}

resource "google_project_service" "required" {
  for_each = toset(["artifactregistry", "compute", "container", "iam", "storage"])

  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

# Pods are known to Cloud Storage by their ServiceAccounts: there are no keys.
resource "google_storage_bucket_iam_member" "volume" {
  for_each = local.volume_users

  bucket = google_storage_bucket.volume.name
  role   = "roles/storage.objectUser"
  member = "${local.principals}/subject/ns/${split("/", each.key)[0]}/sa/${split("/", each.key)[1]}"

  # The pool of identities comes with the cluster.
  depends_on = [google_container_cluster.conveyor]
}

# What the machines themselves may: write logs and metrics, and pull images.
resource "google_service_account" "machines" {
  account_id   = "${var.name}-machines"
  display_name = "The machines of ${var.name}"

  depends_on = [google_project_service.required]
}

resource "google_project_iam_member" "machines" {
  project = var.project
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.machines.member
}

resource "google_artifact_registry_repository_iam_member" "machines" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.machines.member
}
