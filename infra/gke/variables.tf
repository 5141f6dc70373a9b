variable "project" {
  description = "The id of the Google Cloud project that everything is made in."
  type        = string
}

variable "region" {
  description = "Where the network, the bucket and the registry are, such as europe-west1."
  type        = string
}

variable "zone" {
  description = "Where the cluster is, a zone of the region, such as europe-west1-b."
  type        = string

  validation {
    condition     = startswith(var.zone, "${var.region}-")
    error_message = "The zone must be one of the region, as europe-west1-b is one of europe-west1."
  }
}

variable "name" {
  description = "The name of the cluster, the network and the registry, and the beginning of the bucket's name."
  type        = string
  default     = "conveyor"
}

variable "administrators" {
  description = "The networks, in CIDR notation, that the cluster's API answers. No other does it answer."
  type        = map(string)
}

variable "run_namespace" {
  description = "The namespace of the runs: kubeflow.namespace of the configuration."
  type        = string
  default     = "kubeflow"
}

variable "machine_type" {
  description = "The machines that Kubeflow, the pods of runs and the servers run on."
  type        = string
  default     = "e2-standard-8"
}

variable "max_machines" {
  description = "How many of them there may be. There is always one."
  type        = number
  default     = 4
}

variable "gpu" {
  description = "Machines with GPUs, of which there are none while no pod asks for one; null: none at all."
  type = object({
    machine_type = string
    accelerator  = string
    count        = number
    max_machines = number
  })
  default = null
}

variable "deletion_protection" {
  description = "Whether the cluster and a bucket that is not empty are kept from being destroyed."
  type        = bool
  default     = true
}
