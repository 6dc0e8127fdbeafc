output "vpc_id" {
  description = "The network."
  value       = aws_vpc.main.id
}

output "subnet_ids" {
  description = "Its subnets."
  value       = aws_subnet.main[*].id
}

output "security_group_id" {
  description = "The group of what runs in it."
  value       = aws_security_group.inside.id
}
