locals {
  workload_pool = "${var.project}.svc.id.goog"
  principals    = "principal://iam.googleapis.com/projects/${data.google_project.this.number}/locations/global/workloadIdentityPools/${local.workload_pool}"

  # The ServiceAccounts of pods that mount the volume, as namespace/name.
  volume_users = toset([
    "${var.run_namespace}/pipeline-runner",
    "${var.run_namespace}/conveyor-loop",
    "${var.run_namespace}/conveyor-monitor",
    "${var.run_namespace}/default",
  ])

  # Those of servers, each with the folder of the volume that its pods mount, and what it may do there. A mount that is read-only does not bind
  # whoever has taken over the pod.
  folder_users = {
    "conveyor-serving/serving" = { folder = "models", role = "roles/storage.objectViewer" }
    "conveyor-serving/gateway" = { folder = "predictions", role = "roles/storage.objectUser" }
  }
}

# Read by each plan: cloudresourcemanager.googleapis.com has to be enabled before the first one.
data "google_project" "this" {
  project_id = var.project
}

resource "google_project_service" "required" {
  for_each = toset(["artifactregistry", "compute", "container", "dns", "iam", "storage"])

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

# The names of all objects may be listed: that is a right on the bucket.
resource "google_storage_bucket_iam_member" "folder" {
  for_each = local.folder_users

  bucket = google_storage_bucket.volume.name
  role   = each.value.role
  member = "${local.principals}/subject/ns/${split("/", each.key)[0]}/sa/${split("/", each.key)[1]}"

  condition {
    title = each.value.folder
    expression = join(" || ", [
      "resource.type == 'storage.googleapis.com/Bucket'",
      "resource.name.startsWith('projects/_/buckets/${google_storage_bucket.volume.name}/objects/${each.value.folder}/')",
      "resource.name.startsWith('projects/_/buckets/${google_storage_bucket.volume.name}/folders/${each.value.folder}/')",
    ])
  }

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
