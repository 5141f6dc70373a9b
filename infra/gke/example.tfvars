project        = "my-project"
region         = "europe-west1"
zone           = "europe-west1-b"
administrators = { office = "203.0.113.0/24" }

gpu = {
  machine_type = "g2-standard-8"
  accelerator  = "nvidia-l4"
  count        = 1
  max_machines = 1
}
