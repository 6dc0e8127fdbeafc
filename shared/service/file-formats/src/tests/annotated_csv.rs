//! CSV with the annotations of InfluxDB 2.

use super::*;

fn shown(file: &str) -> String {
    show_text(file, options(Format::Csv, "", &[]))
}

#[test]
fn a_query_result_is_pivoted() {
    let file = "\
#group,false,false,true,true,false,false,true,true,true
#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string
#default,_result,,,,,,,,
,result,table,_start,_stop,_time,_value,_field,_measurement,host
,,0,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z,1.5,load,cpu,a
,,0,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,2026-01-01T00:00:10Z,2,load,cpu,a
,,1,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z,x,idle,cpu,b
,,2,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z,7,free,mem,b

#group,false,false,false,false,true,true
#datatype,string,long,dateTime:RFC3339,boolean,string,string
#default,_result,,,,,
,result,table,_time,_value,_field,_measurement
,,0,2026-01-01T00:00:00Z,true,up,node
";
    insta::assert_snapshot!(shown(file), @r"
    1: cpu,host=a load=1.5 1767225600000000000
    2: cpu,host=a load=2 1767225610000000000
    3: ! value `x` of column 'idle' is not a valid number
    4: mem,host=b free=7 1767225600000000000
    5: node up=true 1767225600000000000
    ");
}

#[test]
fn extended_annotations_define_tables_constants_and_defaults() {
    let file = "\
#constant measurement,weather
#constant tag,country,at
#timezone +0100
#datatype tag,double,long,unsignedLong,ignored,string,dateTime:RFC3339
#default unknown,,,,,,
city,temperature,wind,id,note,text,at
Graz,1.5,-3,7,hidden,a b,2026-01-01T01:00:00
,2,4,8,,,2026-01-01T01:00:00Z
Wien,3,4.5,8,,,2026-01-01T01:00:00Z
";
    insta::assert_snapshot!(shown(file), @r#"
    1: weather,city=Graz,country=at temperature=1.5,wind=-3i,id=7u,text="a b" 1767225600000000000
    2: weather,city=unknown,country=at temperature=2,wind=4i,id=8u 1767229200000000000
    3: ! value `4.5` of column 'wind' is not a valid integer
    "#);
}

#[test]
fn a_header_may_have_types() {
    let file = "\
m|measurement,host|tag,load|double|0,time|dateTime:number
cpu,a,,1767225600
mem,b,2,1767225601000
";
    insta::assert_snapshot!(shown(file), @r"
    1: cpu,host=a load=0 1767225600000000000
    2: mem,host=b load=2 1767225601000000000
    ");
}

#[test]
fn names_of_influxdb_need_no_annotations() {
    let file = "_time,_measurement,_field,_value,host\n\
        2026-01-01T00:00:00Z,cpu,load,1,a\n\
        2026-01-01T00:00:00Z,cpu,name,x,a\n";
    insta::assert_snapshot!(shown(file), @r#"
    1: cpu,host=a load=1i 1767225600000000000
    2: cpu,host=a name="x" 1767225600000000000
    "#);
}

#[test]
fn annotations_without_meaning_are_errors_with_their_line() {
    for (file, error) in [
        ("#datatype,lnog\n,v\n", "line 2: unknown type 'lnog'"),
        (
            "# comment\n#constant tag,x\n",
            "line 2: #constant needs a type, a name and a value",
        ),
        (
            "#datatype measurement,time,time,long\nm,t1,t2,v\n",
            "line 2: the columns 't1' and 't2' are both times: make one of them ignored",
        ),
        ("#concat,x\n", "line 1: #concat is not supported"),
    ] {
        assert_eq!(shown(file), error);
    }
}
