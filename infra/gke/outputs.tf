output "credentials" {
  description = "The command that gives kubectl the cluster's context."
  value       = "gcloud container clusters get-credentials ${google_container_cluster.conveyor.name} --zone ${var.zone} --project ${var.project}"
}

output "context" {
  description = "kubeflow.context of the configuration."
  value       = "gke_${var.project}_${var.zone}_${google_container_cluster.conveyor.name}"
}

output "image" {
  description = "kubeflow.image of the configuration, without its tag."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}/conveyor"
}

output "bucket" {
  description = "The volumeHandle of volumes."
  value       = google_storage_bucket.volume.name
}
