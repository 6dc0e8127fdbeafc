output "url" {
  description = "Where clients send requests."
  value       = var.certificate_arn == null ? "http://${aws_lb.main.dns_name}:${local.listener_port}" : "https://${aws_lb.main.dns_name}"
}

output "metric_dimensions" {
  description = "By what the load balancer's metrics tell the containers."
  value       = { LoadBalancer = aws_lb.main.arn_suffix, TargetGroup = aws_lb_target_group.main.arn_suffix }
}

output "dns_name" {
  description = "What a name of your own has to point to."
  value       = aws_lb.main.dns_name
}
