//! What the server says of itself over Flight SQL: its version, its SQL, and its data types.

use std::sync::LazyLock;

use arrow_flight::{
    error::FlightError,
    sql::{
        Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity,
        SqlSupportedTransaction, XdbcDataType, XdbcDatetimeSubcode,
        metadata::{
            SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData,
            XdbcTypeInfoDataBuilder,
        },
    },
};
use neap_http::COMPATIBLE_VERSION;
use tonic::Status;

/// The maximum length of a statement in bytes, as for queries over HTTP.
pub(crate) const MAX_STATEMENT_BYTES: usize = 4 << 20;

static SQL_INFO: LazyLock<Result<SqlInfoData, FlightError>> = LazyLock::new(build_sql_info);
static DATA_TYPES: LazyLock<Result<XdbcTypeInfoData, FlightError>> =
    LazyLock::new(build_data_types);

/// Returns the properties of the server.
///
/// # Errors
/// `Internal`.
pub(crate) fn sql_info() -> Result<&'static SqlInfoData, Status> {
    SQL_INFO.as_ref().map_err(|error| Status::internal(error.to_string()))
}

/// Returns the data types of columns.
///
/// # Errors
/// `Internal`.
pub(crate) fn data_types() -> Result<&'static XdbcTypeInfoData, Status> {
    DATA_TYPES.as_ref().map_err(|error| Status::internal(error.to_string()))
}

fn build_sql_info() -> Result<SqlInfoData, FlightError> {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "InfluxDB IOx");
    info.append(SqlInfo::FlightSqlServerVersion, COMPATIBLE_VERSION);
    info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, true);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    info.append(SqlInfo::FlightSqlServerStatementTimeout, 0);
    info.append(SqlInfo::FlightSqlServerTransactionTimeout, 0);
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, false);
    info.append(
        SqlInfo::SqlIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32,
    );
    info.append(SqlInfo::SqlIdentifierQuoteChar, r#"""#);
    info.append(
        SqlInfo::SqlQuotedIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32,
    );
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlInfo::SqlSearchStringEscape, "\\");
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlCatalogTerm, "database");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    info.append(SqlInfo::SqlSelectForUpdateSupported, false);
    info.append(SqlInfo::SqlStoredProceduresSupported, false);
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.append(SqlInfo::SqlBatchUpdatesSupported, false);
    info.append(SqlInfo::SqlSavepointsSupported, false);
    info.append(SqlInfo::SqlNamedParametersSupported, true);
    info.append(
        SqlInfo::SqlMaxStatementLength,
        i64::try_from(MAX_STATEMENT_BYTES).unwrap_or(i64::MAX),
    );
    info.build()
}

/// Describes the types of columns that tables have.
fn build_data_types() -> Result<XdbcTypeInfoData, FlightError> {
    let mut types = XdbcTypeInfoDataBuilder::new();
    let integer = |name: &str, digits, is_unsigned| XdbcTypeInfo {
        unsigned_attribute: Some(is_unsigned),
        num_prec_radix: Some(10),
        ..data_type(name, XdbcDataType::XdbcBigint, digits)
    };
    types.append(data_type("BOOLEAN", XdbcDataType::XdbcBit, 1));
    types.append(integer("BIGINT", 19, false));
    types.append(integer("BIGINT UNSIGNED", 20, true));
    types.append(XdbcTypeInfo {
        unsigned_attribute: Some(false),
        num_prec_radix: Some(2),
        ..data_type("DOUBLE", XdbcDataType::XdbcDouble, 53)
    });
    types.append(XdbcTypeInfo {
        literal_prefix: Some("'".to_owned()),
        literal_suffix: Some("'".to_owned()),
        case_sensitive: true,
        ..data_type("VARCHAR", XdbcDataType::XdbcVarchar, i32::MAX)
    });
    types.append(XdbcTypeInfo {
        literal_prefix: Some("'".to_owned()),
        literal_suffix: Some("'".to_owned()),
        datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        ..data_type("TIMESTAMP", XdbcDataType::XdbcTimestamp, 29)
    });
    types.build()
}

fn data_type(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        sql_data_type: data_type,
        ..XdbcTypeInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_and_types_can_be_encoded() {
        let all = sql_info().unwrap().record_batch(None).unwrap();
        assert!(all.num_rows() > 20, "{all:?}");
        let types = data_types().unwrap().record_batch(None).unwrap();
        assert_eq!(types.num_rows(), 6);
    }
}
